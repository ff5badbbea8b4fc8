"""ImageNet: archives, record files, decoding and augmentation."""
