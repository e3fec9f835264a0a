"""Prepared encoders and decoders for records that come by the thousands."""
