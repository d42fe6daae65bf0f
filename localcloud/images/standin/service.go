package main

import (
	"errors"
	"net/http"
	"os"
)

// serve is one of the platform's own services: it has a health and nothing else.
func serve() error {
	port, name := os.Getenv("PORT"), os.Getenv("STANDIN_SERVICE")
	if port == "" {
		return errors.New("PORT is not set: set it to the port the service listens on, as 3001")
	}
	if name == "" {
		name, _ = os.Hostname()
	}
	version := "stand-in"
	if tag := os.Getenv("STANDIN_VERSION"); tag != "" {
		version = tag + " (stand-in)"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok", "service": name, "version": version})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		text := "this is a stand-in for " + name + ": it has only /health, not " + r.URL.Path
		reply(w, http.StatusNotFound, map[string]string{"error": text})
	})
	return listen(name, ":"+port, mux)
}
