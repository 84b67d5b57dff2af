"""How good weights are: during training, and by `training.evaluate` and `training.sheet` afterwards.

- settings: what `training.evaluate` is asked.
- methods: the generators and baselines that it compares, under their names.
- baselines: gaps without a network: a cross-fade, a reflection, inpainting.
- datasets: pairs of photos to join, and random crops that stand for real ones, as the authors took them.
- measurements: all figures of all methods, by the measures that follow and `training.perceptual`.
- distribution_distances: FID and KID, which compare panoramas with photos as two sets.
- seam_visibility: how much the edges of a gap stand out.
- psnr: how near a rebuilt gap is to the true one.
- skylines: how far the skyline of a gap is from the true one.
- report: the figures, as a table, in words and as JSON.
- sheets: panoramas side by side, to look at.
- validation: the figures and samples of a run while it trains.
"""
