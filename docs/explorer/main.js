"use strict";

settings
  .load()
  .then(() => {
    const updates = [controls.start(), panels.start(), rewards.start()];
    const update = () => updates.forEach((each) => each());
    // At most once a frame, however fast a slider moves.
    let waiting = false;
    settings.onChange(() => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        update();
      });
    });
    update();
    document.documentElement.dataset.ready = "yes";
  })
  .catch((error) => {
    document.getElementById("trouble").hidden = false;
    document.getElementById("trouble").textContent = `This browser cannot show the page: ${error.message}`;
  });
