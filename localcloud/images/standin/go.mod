module agent-docker/standin

go 1.22
