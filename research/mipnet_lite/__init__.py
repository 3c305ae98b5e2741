"""How mipnet-lite was trained, calibrated and packed; see diary.md."""
