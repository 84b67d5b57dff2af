"""The network that tells sky, land and water: `python -m training.segmentation --help`.

- marks: what was marked on photos by looking, and the masks that follow from it.
- edges: a line that is marked roughly is led along the edges of the photo.
- vgg: features of VGG16.
- teacher: a head on these features, which learns from the marked photos.
- student: `wrb.detail.segmentation.Segmenter`, which learns from what the teacher says of all photos.
- scores: how well classes are told.
- train: the command.
"""
