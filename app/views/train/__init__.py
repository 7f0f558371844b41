"""The Train layout: train a noise policy on episodes and add it to the fan."""
