"""The built-in BIOS: interrupt services of an AT-compatible PC as Python functions, a file each.

Facts are from IBM, *Personal System/2 and Personal Computer BIOS Interface Technical Reference*
(1988), Ralf Brown's Interrupt List (release 61), VESA VBE 3.0, Phoenix EDD 3.0 and El Torito 1.0.
"""
