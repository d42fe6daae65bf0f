package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func snapshotFile(r *http.Request, name string) string {
	return filepath.Join(snapshots, r.PathValue("c"), name)
}

func describe(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return map[string]any{
		"name":          filepath.Base(path),
		"creation_time": info.ModTime().UTC().Format("2006-01-02T15:04:05"),
		"size":          len(text),
		"checksum":      hex.EncodeToString(sum[:]),
	}, nil
}

func listSnapshots(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := load(r.PathValue("c")); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(snapshotFile(r, "*"+suffix))
	found := []map[string]any{}
	for _, file := range files {
		one, problem := describe(file)
		err = errors.Join(err, problem)
		found = append(found, one)
	}
	return found, err
}

func takeSnapshot(_ http.ResponseWriter, r *http.Request) (any, error) {
	name := r.PathValue("c")
	found, err := load(name)
	if err != nil {
		return nil, err
	}
	stamp := time.Now().UTC().Format("2006-01-02-15-04-05.000000000")
	path := snapshotFile(r, name+"-0-"+stamp+suffix)
	if err := store(path, found); err != nil {
		return nil, err
	}
	return describe(path)
}

func deleteSnapshot(_ http.ResponseWriter, r *http.Request) (any, error) {
	err := os.Remove(snapshotFile(r, r.PathValue("s")))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing{"snapshot " + r.PathValue("s")}
	}
	return err == nil, err
}

func download(w http.ResponseWriter, r *http.Request) {
	path := snapshotFile(r, r.PathValue("s"))
	if !names.MatchString(r.PathValue("c")) || !names.MatchString(r.PathValue("s")) {
		refuse(w, http.StatusBadRequest, errors.New("not the name of a snapshot"))
	} else if _, err := os.Stat(path); err != nil {
		refuse(w, http.StatusNotFound, missing{"snapshot " + r.PathValue("s")})
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeFile(w, r, path)
	}
}

// recoverSnapshot takes {"location": "file:///qdrant/snapshots/…" or "http://…"}.
func recoverSnapshot(_ http.ResponseWriter, r *http.Request) (any, error) {
	var given struct{ Location string }
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		return nil, err
	}
	location, err := url.Parse(given.Location)
	if err != nil {
		return nil, err
	}
	switch location.Scheme {
	case "file":
		path := filepath.Clean(location.Path)
		if !strings.HasPrefix(path, snapshots+"/") {
			return nil, fmt.Errorf("a snapshot must lie below %s, not at %s", snapshots, path)
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return restore(r.PathValue("c"), file)
	case "http", "https":
		response, err := http.Get(given.Location)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		return restore(r.PathValue("c"), response.Body)
	}
	return nil, fmt.Errorf("the location must be a file: or http: address, not %q", given.Location)
}

// uploadSnapshot takes a form with the file `snapshot`, as Qdrant does.
func uploadSnapshot(_ http.ResponseWriter, r *http.Request) (any, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	for {
		part, err := form.NextPart()
		if err != nil {
			return nil, errors.New("the form has no file `snapshot`")
		}
		if part.FormName() == "snapshot" {
			return restore(r.PathValue("c"), part)
		}
	}
}

func restore(name string, from io.Reader) (any, error) {
	var found collection
	if err := json.NewDecoder(from).Decode(&found); err != nil || found.Points == nil {
		return nil, errors.New("this is no snapshot of a stand-in")
	}
	return true, store(collectionFile(name), found)
}
