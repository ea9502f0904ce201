"""All that needs torch: loading, packing, tuning, decoding and the gradient conflict."""
