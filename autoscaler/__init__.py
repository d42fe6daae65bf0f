"""The autoscaler: keeps the gpu stack's slots in step with the inference queue."""
