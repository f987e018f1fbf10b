"""What is compared, with one file per kind of fact.

Each file has functions that take something from the surface and yield `(aspect, text)`. The text must be the same for
asyncio and for ferrio. Texts leave out addresses, numbers of descriptors and the package's name.
"""
