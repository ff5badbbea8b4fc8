"""Image classification: the network, and where images come from.

    strokes = glyphs.make_strokes(key, num_classes=1000)
    images = glyphs.render(strokes, labels, key, image_size=32)  # float32 [B, 32, 32, 1] in [0, 1]
    batches = imagenet2012.source.Files(request).host_batches(step)  # {"image": uint8, "label": int32}

**Sources** (`sources`) is the table of what a run can be trained on: each says its classes and channels, checks a
config, and makes the images of a run (`images.Images`). ``--config.data.name=my.module:source`` takes your own:
`arrays.source` makes one from arrays in memory, and any other is an `images.Source` with four methods to write.

**Glyphs** (`glyphs.digits` and `glyphs.kanji` too) are classes of pen strokes drawn by one renderer, which moves every
image by a random jitter. Nothing is stored: an image is a function of its class and its key. Held-out images are
therefore those of other keys: training draws from ``keys.stream(seed, "images", step)``, validation from
``keys.stream(seed, "validation", batch)``, which never meet. The classes themselves come from a key of their own.

**ImageNet** (`imagenet2012`) has no state but a step: batch number s of a run is a function of (folder, batch size,
image size, seed, s), whatever was read before and however many worker processes read it. A resumed run asks for
its step; nothing needs to be saved.

**How each host picks its shard.** Every process asks for its own part of the same global batch (`images.Request`);
``batch_size`` is always the global one. Rows ``[shard_index * b, (shard_index + 1) * b)`` of it, with
``b = batch_size / shard_count``, are this process's; `jax.make_array_from_process_local_data` joins them in that
order. What is in the global batch does not depend on the number of processes, so a run may resume on another number
of hosts. Validation is dealt the same way; its last batch is padded and its ``mask`` says which rows count. The
record files must be readable by every host: one shared folder, a bucket, or a copy each.
"""
