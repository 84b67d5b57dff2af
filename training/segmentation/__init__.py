"""The network that tells sky, land, water and things: `python -m training.segmentation --help`.

- marks: what was marked on photos by looking, and the masks that follow from it.
- edges: a line that is marked roughly is led along the edges of the photo.
- learning: `wrb.detail.segmentation.Segmenter` learns from marked photos, its encoder from EfficientNet-Lite0 on.
- scores: how well it tells them.
- train: the command.
"""
