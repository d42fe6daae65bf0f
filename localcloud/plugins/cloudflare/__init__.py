"""The `cloudflare` plugin: tunnels, DNS records and Access, through Cloudflare's own client."""
