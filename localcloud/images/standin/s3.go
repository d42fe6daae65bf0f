package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	s3Time = "2006-01-02T15:04:05.000Z"
	// An object is one file whose name is the escaped key; file systems allow 255 bytes.
	longestName = 240
)

var (
	buckets    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	credential = regexp.MustCompile(`Credential=([^/,]+)/`)
)

type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	status  int
}

func (e s3Error) Error() string { return e.Message }

func s3Problem(status int, code, message string) error {
	return s3Error{Code: code, Message: "stand-in: " + message, status: status}
}

type bucketList struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
	Buckets struct {
		Bucket []struct{ Name, CreationDate string }
	}
}

type s3Store struct{ root, user string }

// s3 takes MinIO's own arguments: `server /data --console-address :9001`.
func s3(args []string) error {
	if len(args) > 0 && args[0] == "minio" {
		args = args[1:]
	}
	root, address := "/data", ":9000"
	for i, arg := range args {
		switch {
		case arg == "server" && i+1 < len(args):
			root = args[i+1]
		case arg == "--address" && i+1 < len(args):
			address = args[i+1]
		}
	}
	user, err := setting("MINIO_ROOT_USER")
	if err != nil {
		return err
	}
	password, err := setting("MINIO_ROOT_PASSWORD")
	if err != nil {
		return err
	}
	if user == "" || len(password) < 8 {
		return errors.New("MINIO_ROOT_USER and MINIO_ROOT_PASSWORD (8 characters or more), or their _FILE, must be set")
	}
	return listen("MinIO (no signatures are checked)", address, s3Store{root, user})
}

func (s s3Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "stand-in for MinIO")
	if strings.HasPrefix(r.URL.Path, "/minio/health/") {
		return
	}
	err := s.admitted(r)
	if err == nil {
		err = s.answer(w, r)
	}
	if err != nil {
		var problem s3Error
		if !errors.As(err, &problem) {
			problem = s3Error{Code: "InternalError", Message: "stand-in: " + err.Error(), status: 500}
		}
		writeXML(w, problem.status, problem)
	}
}

// admitted wants the root user's key; who has that is believed, whatever the signature.
func (s s3Store) admitted(r *http.Request) error {
	found := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil {
		found = credential.FindStringSubmatch("Credential=" + r.URL.Query().Get("X-Amz-Credential"))
	}
	if found == nil || found[1] != s.user {
		return s3Problem(http.StatusForbidden, "AccessDenied", "the access key must be the root user's")
	}
	return nil
}

func (s s3Store) answer(w http.ResponseWriter, r *http.Request) error {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket == "" {
		return s.listBuckets(w)
	}
	if !buckets.MatchString(bucket) {
		return s3Problem(http.StatusBadRequest, "InvalidBucketName", fmt.Sprintf("no bucket may be called %q", bucket))
	}
	folder := filepath.Join(s.root, bucket)
	if key == "" && r.Method == http.MethodPut {
		return os.MkdirAll(folder, 0o755)
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return s3Problem(http.StatusNotFound, "NoSuchBucket", "no bucket "+bucket)
	}
	if key == "" {
		return onBucket(w, r, folder, bucket)
	}
	name := url.QueryEscape(key)
	if len(name) > longestName {
		return s3Problem(http.StatusBadRequest, "KeyTooLongError", fmt.Sprintf("a key may have %d bytes here", longestName))
	}
	// "." and ".." escape to themselves.
	return onObject(w, r, filepath.Join(folder, "="+name), key)
}

func (s s3Store) listBuckets(w http.ResponseWriter) error {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return err
	}
	var found bucketList
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && entry.IsDir() && buckets.MatchString(entry.Name()) {
			one := struct{ Name, CreationDate string }{entry.Name(), info.ModTime().UTC().Format(s3Time)}
			found.Buckets.Bucket = append(found.Buckets.Bucket, one)
		}
	}
	writeXML(w, http.StatusOK, found)
	return nil
}

func onBucket(w http.ResponseWriter, r *http.Request, folder, bucket string) error {
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodHead:
		return nil
	case r.Method == http.MethodDelete:
		if err := os.Remove(folder); err != nil {
			return s3Problem(http.StatusConflict, "BucketNotEmpty", "the bucket has objects")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case r.Method == http.MethodGet && query.Has("location"):
		writeXML(w, http.StatusOK, struct {
			XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		}{})
		return nil
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		found, err := list(folder, bucket, query)
		if err == nil {
			writeXML(w, http.StatusOK, found)
		}
		return err
	}
	return s3Problem(http.StatusNotImplemented, "NotImplemented", r.Method+" "+r.URL.String())
}

func writeXML(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	io.WriteString(w, xml.Header)
	xml.NewEncoder(w).Encode(body)
}
