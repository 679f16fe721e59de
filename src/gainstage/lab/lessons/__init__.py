"""The lessons, one marimo file each: prose and widgets; every number comes from public functions of gainstage."""
