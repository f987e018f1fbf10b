"""What is compared, a file for each kind of fact.

Each has functions that take something of the surface and yield `(aspect, text)`; the text of asyncio's and of ferrio's
must be the same. Addresses, numbers of descriptors and the package's name are left out of texts.
"""
