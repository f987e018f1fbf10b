"""Nothing grows, every cycle is collected, a pending task is no bigger than asyncio's."""
