"""The network of the paper and its weights. It knows nothing of photos of other sizes, of files of images or of detail.

Lu, Chang and Chiu, "Bridging the Visual Gap: Wide-Range Image Blending", CVPR 2021, arXiv 2103.15149.
"""
