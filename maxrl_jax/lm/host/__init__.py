"""Steps and evaluations with the host between their programs: it judges, or takes finished answers out."""
