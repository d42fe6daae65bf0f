"""A stand-in for Cloudflare's API v4: tunnels, DNS records and Access of one account and zone."""
