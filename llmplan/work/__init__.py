"""The work of a layer on one device: kernels, communication and memory, the same for training and serving."""
