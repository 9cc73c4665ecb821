"""Transforms: one file each; what they do happens between the source and the serializer."""
