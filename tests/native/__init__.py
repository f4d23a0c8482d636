"""The host CPU as a referee: batches of i386 cases run natively in a child process."""
