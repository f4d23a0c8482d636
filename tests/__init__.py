"""The project's tests: one file per subject, data beside it in data/ and guests/."""
