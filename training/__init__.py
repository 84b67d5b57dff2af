"""Make your own weights: `python -m training.self_reconstruction --help`.

Commands, each also a plain script:

- self_reconstruction: the first stage, from photos alone.
- pairs: the table of each photo's nearest ones, for the second stage.
- fine_tuning: the second stage, which joins different photos too.
- evaluate: figures and sheets of weights, beside gaps made without a network.
- sheet: one sheet of results on held-back photos.
- segmentation: the network that tells sky, land and water, in files of its own; a command, but no plain script.

What a run is made of:

- config: all settings. Each group of them is declared beside the code that uses it; settings has their checks.
- run: the loop, validation, checkpoints and what is left at the end.
- state: what has been learnt so far, as one object to save and to resume.
- steps, losses: the losses of one step.
- networks, discriminator: the networks and the weights that they begin with.
- optimisers: learning rates and the moving average of weights.
- data, mixing: from photos to crops.
- photos: from folders to photos, and which are held back.
- checkpoints: files to resume from.
- program: how every command begins, and how it ends if it cannot do what was asked.
- perceptual: frozen networks that images are compared by.
- nearest_photos, neighbour_table: which photos look alike, and the file that says so.
- evaluation: how good weights are, in files of its own.
"""
