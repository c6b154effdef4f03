// Holds the layer until its first working file.
