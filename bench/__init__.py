"""Speed and memory of keymuster beside its peers, in one run: `make bench`."""
