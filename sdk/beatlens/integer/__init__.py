"""The int8 graph: build it from a network, simulate it, write and read .tflite files."""
