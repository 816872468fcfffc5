"""The pure floor: bytes in, bytes out. No socket, no clock, no random number."""
