"""The machine: descriptions and topologies, costs, page frames, VRAM, copy engines, GPUs, virtual time."""
