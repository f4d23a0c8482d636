"""Guest bytes -> host code. Pure: knows no devices and no operating system."""

DEFAULT_STRATEGY = "tiered"
