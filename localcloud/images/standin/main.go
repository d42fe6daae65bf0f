// Command standin takes the place of images that cannot be had: one static program, many roles.
// It keeps the ports, paths, health tests and signals of what it stands in for, and says "stand-in"
// wherever somebody could take it for the real thing.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const usage = "standin: use `standin serve|qdrant|s3|cloudflared|get URL`"

func main() {
	// The names that health tests call: `wget -q -O /dev/null URL`, `mc ready local`.
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "standin" {
		if len(args) == 0 {
			fail(errors.New(usage))
		}
		name, args = args[0], args[1:]
	}
	if err := run(name, args); err != nil {
		fail(err)
	}
}

func run(name string, args []string) error {
	switch name {
	case "serve":
		return serve()
	case "qdrant":
		return qdrant(args)
	case "s3", "minio":
		return s3(args)
	case "cloudflared":
		return cloudflared(args)
	case "mc":
		if slices.Equal(args, []string{"ready", "local"}) {
			return get("http://127.0.0.1:9000/minio/health/live")
		}
		return errors.New("mc is a stand-in and knows only `mc ready local`")
	case "get", "wget", "curl":
		if len(args) == 0 || !strings.Contains(args[len(args)-1], "://") {
			return fmt.Errorf("%s is a stand-in and needs a URL as its last argument", name)
		}
		return get(args[len(args)-1])
	}
	return fmt.Errorf("no part %q; %s", name, usage)
}

// get is the health client: nil if the address answers 2xx.
func get(address string) error {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", address, response.Status)
	}
	return nil
}

// listen serves until SIGTERM or SIGINT, which end the program at once: nothing is half written,
// because files are renamed into place.
func listen(what, address string, handler http.Handler) error {
	endAtSignal(func() {})
	fmt.Printf("stand-in for %s listens on %s\n", what, address)
	server := http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

func endAtSignal(before func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		before()
		os.Exit(0)
	}()
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// setting reads NAME, or the file that NAME_FILE names.
func setting(name string) (string, error) {
	path := os.Getenv(name + "_FILE")
	if path == "" {
		return os.Getenv(name), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// save writes a file whole or not at all.
func save(path string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = io.Copy(file, from)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "stand-in:", err)
	os.Exit(1)
}
