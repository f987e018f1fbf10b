"""ferrio: asyncio, whole, in Rust."""
