"""What a report says about clips in words: headline, badges, metrics explained, values beside published guidance."""
