"""Measurements that the README quotes; every one checks the guest's result before it counts."""
