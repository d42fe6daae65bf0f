package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func onObject(w http.ResponseWriter, r *http.Request, path, key string) error {
	if r.URL.Query().Has("uploads") || r.URL.Query().Has("uploadId") || r.Header.Get("x-amz-copy-source") != "" {
		return s3Problem(http.StatusNotImplemented, "NotImplemented", "no multipart uploads and no copies")
	}
	switch r.Method {
	case http.MethodPut:
		return put(w, r, path)
	case http.MethodDelete:
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodGet, http.MethodHead:
		return send(w, r, path, key)
	}
	return s3Problem(http.StatusNotImplemented, "NotImplemented", r.Method+" of an object")
}

func put(w http.ResponseWriter, r *http.Request, path string) error {
	var body io.Reader = r.Body
	if strings.HasPrefix(r.Header.Get("x-amz-content-sha256"), "STREAMING-") {
		body = &chunked{from: bufio.NewReader(r.Body)}
	}
	if err := save(path, body); err != nil {
		return err
	}
	tag, err := etag(path)
	w.Header().Set("ETag", tag)
	return err
}

func send(w http.ResponseWriter, r *http.Request, path, key string) error {
	tag, err := etag(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s3Problem(http.StatusNotFound, "NoSuchKey", "no object "+key)
	}
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", info.ModTime().Truncate(time.Second), file)
	return nil
}

// chunked reads the body that S3 clients sign piece by piece: "SIZE;chunk-signature=…", data, a line.
type chunked struct {
	from *bufio.Reader
	left int64
	done bool
}

func (c *chunked) Read(into []byte) (int, error) {
	for c.left == 0 {
		if c.done {
			return 0, io.EOF
		}
		line, err := c.from.ReadString('\n')
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		text, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		if text == "" {
			continue
		}
		if c.left, err = strconv.ParseInt(text, 16, 64); err != nil || c.left < 0 {
			return 0, fmt.Errorf("a chunk's size cannot be %q", text)
		}
		c.done = c.left == 0
	}
	n, err := c.from.Read(into[:min(int64(len(into)), c.left)])
	c.left -= int64(n)
	if err == io.EOF && c.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
