"""What a machine with an NVIDIA card is asked about this product, in parts that fail on their own; run by `scripts/gpu-check`."""
