"""Engines whose pixels come from elsewhere: servers with an API of their own, called upstreams.

`relay` is the way of one shot through them; `openai_videos` and `venice` are what they speak.
"""
