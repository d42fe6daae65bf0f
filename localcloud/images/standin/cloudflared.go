package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	retry    = time.Second
	farewell = time.Second // a stop must not wait longer for an emulator that is gone
)

// tunnel is one connector. It carries no traffic: it only says that it is there.
type tunnel struct {
	id, admin string
	connected atomic.Bool
}

func cloudflared(args []string) error {
	metrics := os.Getenv("TUNNEL_METRICS")
	if at := slices.Index(args, "--metrics"); at >= 0 && at+1 < len(args) {
		metrics = args[at+1]
	}
	switch {
	case slices.Contains(args, "ready"):
		if metrics == "" {
			return errors.New("no metrics address: set TUNNEL_METRICS or give --metrics")
		}
		return get("http://" + metrics + "/ready")
	case slices.Contains(args, "run"):
		return runTunnel(metrics)
	}
	return fmt.Errorf("cloudflared is a stand-in: it knows `tunnel run` and `tunnel ready`, not %q", args)
}

func runTunnel(metrics string) error {
	token, err := setting("TUNNEL_TOKEN")
	if err != nil {
		return err
	}
	id, err := tunnelOf(token)
	if err != nil {
		return err
	}
	t := &tunnel{id: id, admin: strings.TrimRight(os.Getenv("STANDIN_CLOUDFLARE_ADMIN"), "/")}
	endAtSignal(t.leave)
	fmt.Printf("stand-in for cloudflared, tunnel %s: no traffic passes\n", id)
	go t.join()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", t.ready)
	if metrics == "" {
		metrics = "127.0.0.1:0"
	}
	return http.ListenAndServe(metrics, mux)
}

// tunnelOf reads the tunnel's id from a token: base64 of {"a": account, "t": tunnel, "s": secret}.
func tunnelOf(token string) (string, error) {
	var parts struct{ T string }
	raw, err := base64.StdEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(raw, &parts)
	}
	if err != nil || parts.T == "" {
		return "", errors.New("TUNNEL_TOKEN (or its _FILE) holds no tunnel token: give the one of the tunnel")
	}
	return parts.T, nil
}

// join registers with the emulator, again and again until it answers; without one it counts as done.
func (t *tunnel) join() {
	for t.admin != "" {
		err := t.tell("connect", 5*time.Second)
		if err == nil {
			break
		}
		fmt.Fprintln(os.Stderr, "stand-in: not connected:", err)
		time.Sleep(retry)
	}
	t.connected.Store(true)
	fmt.Println("stand-in: connected")
}

func (t *tunnel) leave() {
	if t.admin != "" && t.connected.Load() {
		if err := t.tell("disconnect", farewell); err != nil {
			fmt.Fprintln(os.Stderr, "stand-in: could not disconnect:", err)
		}
	}
}

// tell posts {"tunnel_id": …} to the emulator's admin route `connect` or `disconnect`.
func (t *tunnel) tell(what string, patience time.Duration) error {
	text, err := json.Marshal(map[string]string{"tunnel_id": t.id})
	if err != nil {
		return err
	}
	client := http.Client{Timeout: patience}
	address := t.admin + "/" + what
	response, err := client.Post(address, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", address, response.Status)
	}
	return nil
}

func (t *tunnel) ready(w http.ResponseWriter, _ *http.Request) {
	status, connections := http.StatusServiceUnavailable, 0
	if t.connected.Load() {
		status, connections = http.StatusOK, 1
	}
	reply(w, status, map[string]any{"status": status, "readyConnections": connections, "stand-in": true})
}
