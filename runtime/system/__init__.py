"""The part of the processor that programs under an operating system never see (SDM vol. 3)."""
