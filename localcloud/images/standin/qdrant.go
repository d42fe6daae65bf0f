package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	storage   = "/qdrant/storage/collections"
	snapshots = "/qdrant/snapshots"
	suffix    = ".snapshot"
)

// A point's id is kept as it was written: a number, or a UUID in quotes.
type point struct {
	ID      json.RawMessage `json:"id"`
	Vector  json.RawMessage `json:"vector"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// collection is also what a snapshot holds.
type collection struct {
	Config json.RawMessage  `json:"config"`
	Points map[string]point `json:"points"`
}

type handler = func(w http.ResponseWriter, r *http.Request) (any, error)

var (
	names    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}$`)
	apiKeys  = regexp.MustCompile(`(?m)^\s*api_key:\s*["']?([^"'\s#]+)`)
	oneByOne sync.Mutex
)

type missing struct{ what string }

func (m missing) Error() string { return m.what + " does not exist" }

func qdrant(args []string) error {
	key, err := apiKey(args)
	if err != nil {
		return err
	}
	for _, folder := range []string{storage, snapshots} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "stand-in is healthy")
		})
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"title": "stand-in for qdrant", "version": "0.0.0-stand-in"})
	})
	routes := map[string]handler{
		"GET /collections":                       listCollections,
		"GET /collections/{c}":                   showCollection,
		"PUT /collections/{c}":                   createCollection,
		"DELETE /collections/{c}":                deleteCollection,
		"PUT /collections/{c}/points":            upsert,
		"POST /collections/{c}/points/count":     count,
		"GET /collections/{c}/points/{id}":       showPoint,
		"GET /collections/{c}/snapshots":         listSnapshots,
		"POST /collections/{c}/snapshots":        takeSnapshot,
		"DELETE /collections/{c}/snapshots/{s}":  deleteSnapshot,
		"PUT /collections/{c}/snapshots/recover": recoverSnapshot,
		"POST /collections/{c}/snapshots/upload": uploadSnapshot,
		"PUT /collections/{c}/snapshots/upload":  uploadSnapshot,
	}
	for route, do := range routes {
		mux.Handle(route, guarded(key, answering(do)))
	}
	mux.Handle("GET /collections/{c}/snapshots/{s}", guarded(key, http.HandlerFunc(download)))
	mux.Handle("/", guarded(key, answering(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return nil, missing{r.Method + " " + r.URL.Path + " of this stand-in"}
	})))
	return listen("qdrant", ":6333", mux)
}

// apiKey is the environment's, or that of a configuration file, as Qdrant takes it.
func apiKey(args []string) (string, error) {
	key := os.Getenv("QDRANT__SERVICE__API_KEY")
	files := []string{"/qdrant/config/config.yaml", "/qdrant/config/production.yaml", "/qdrant/config/local.yaml"}
	for i, arg := range args {
		if arg == "--config-path" && i+1 < len(args) {
			files = append(files, args[i+1])
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if found := apiKeys.FindSubmatch(text); found != nil && key == "" {
			key = string(found[1])
		}
	}
	return key, nil
}

func guarded(key string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("api-key")
		if given == "" {
			given = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		}
		if key != "" && subtle.ConstantTimeCompare([]byte(given), []byte(key)) != 1 {
			http.Error(w, "stand-in: an api-key is needed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answering wraps what `do` gives into Qdrant's envelope, and checks the names in the path.
func answering(do handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		oneByOne.Lock()
		defer oneByOne.Unlock()
		start := time.Now()
		for _, part := range []string{r.PathValue("c"), r.PathValue("s")} {
			if part != "" && !names.MatchString(part) {
				refuse(w, http.StatusBadRequest, fmt.Errorf("the name %q may have letters, digits, _ . -", part))
				return
			}
		}
		result, err := do(w, r)
		var gone missing
		switch {
		case errors.As(err, &gone):
			refuse(w, http.StatusNotFound, err)
		case err != nil:
			refuse(w, http.StatusBadRequest, err)
		default:
			reply(w, http.StatusOK, map[string]any{
				"result": result, "status": "ok", "time": time.Since(start).Seconds(),
			})
		}
	})
}

func refuse(w http.ResponseWriter, status int, err error) {
	reply(w, status, map[string]any{"status": map[string]string{"error": "stand-in: " + err.Error()}, "time": 0})
}

func collectionFile(name string) string { return filepath.Join(storage, name+".json") }

func load(name string) (collection, error) {
	var found collection
	text, err := os.ReadFile(collectionFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return found, missing{"collection " + name}
	}
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	return found, err
}

func store(path string, what collection) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return save(path, strings.NewReader(string(text)))
}

func listCollections(http.ResponseWriter, *http.Request) (any, error) {
	files, err := filepath.Glob(collectionFile("*"))
	found := []map[string]string{}
	for _, file := range files {
		found = append(found, map[string]string{"name": strings.TrimSuffix(filepath.Base(file), ".json")})
	}
	return map[string]any{"collections": found}, err
}

func showCollection(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := load(r.PathValue("c"))
	return map[string]any{
		"status": "green", "points_count": len(found.Points), "config": map[string]any{"params": found.Config},
	}, err
}

func createCollection(_ http.ResponseWriter, r *http.Request) (any, error) {
	name := r.PathValue("c")
	if _, err := load(name); err == nil {
		return nil, fmt.Errorf("collection %s exists already", name)
	}
	var config json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&config); err != nil {
		return nil, err
	}
	return true, store(collectionFile(name), collection{Config: config, Points: map[string]point{}})
}

func deleteCollection(_ http.ResponseWriter, r *http.Request) (any, error) {
	err := os.Remove(collectionFile(r.PathValue("c")))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, errors.Join(err, os.RemoveAll(filepath.Join(snapshots, r.PathValue("c"))))
}

func upsert(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := load(r.PathValue("c"))
	if err != nil {
		return nil, err
	}
	var given struct{ Points []point }
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		return nil, err
	}
	for _, one := range given.Points {
		if len(one.ID) == 0 || len(one.Vector) == 0 {
			return nil, errors.New("a point needs an id and a vector")
		}
		found.Points[strings.Trim(string(one.ID), `"`)] = one
	}
	return map[string]any{"operation_id": 0, "status": "completed"}, store(collectionFile(r.PathValue("c")), found)
}

func count(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := load(r.PathValue("c"))
	return map[string]int{"count": len(found.Points)}, err
}

func showPoint(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := load(r.PathValue("c"))
	if err != nil {
		return nil, err
	}
	one, ok := found.Points[r.PathValue("id")]
	if !ok {
		return nil, missing{"point " + r.PathValue("id")}
	}
	return one, nil
}
