package main

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

type object struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type prefix struct{ Prefix string }

type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	MaxKeys               int
	KeyCount              int
	IsTruncated           bool
	NextContinuationToken string   `xml:",omitempty"`
	Contents              []object `xml:",omitempty"`
	CommonPrefixes        []prefix `xml:",omitempty"`
}

func list(folder, bucket string, query url.Values) (listing, error) {
	limit := 1000
	if text := query.Get("max-keys"); text != "" {
		given, err := strconv.Atoi(text)
		if err != nil || given < 0 {
			return listing{}, s3Problem(http.StatusBadRequest, "InvalidArgument", "max-keys must be a number, not "+text)
		}
		limit = min(given, limit)
	}
	found := listing{Name: bucket, Prefix: query.Get("prefix"), Delimiter: query.Get("delimiter"), MaxKeys: limit}
	after := max(query.Get("start-after"), decoded(query.Get("continuation-token")))
	keys, err := keysIn(folder)
	if err != nil {
		return found, err
	}
	last := ""
	for _, key := range keys {
		shown, grouped := grouping(key, found.Prefix, found.Delimiter)
		if !strings.HasPrefix(key, found.Prefix) || shown <= after || grouped && shown == last {
			continue
		}
		if found.KeyCount == limit {
			found.IsTruncated = limit > 0
			found.NextContinuationToken = hex.EncodeToString([]byte(last))
			break
		}
		if grouped {
			found.CommonPrefixes = append(found.CommonPrefixes, prefix{shown})
		} else if one, err := stat(folder, key); err == nil {
			found.Contents = append(found.Contents, one)
		} else {
			return found, err
		}
		found.KeyCount++
		last = shown
	}
	return found, nil
}

// grouping is what a listing shows for a key: itself, or the prefix up to the delimiter.
func grouping(key, start, delimiter string) (string, bool) {
	rest, has := strings.CutPrefix(key, start)
	if at := strings.Index(rest, delimiter); has && delimiter != "" && at >= 0 {
		return start + rest[:at+len(delimiter)], true
	}
	return key, false
}

func decoded(token string) string {
	text, _ := hex.DecodeString(token)
	return string(text)
}

func keysIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	keys := []string{}
	for _, entry := range entries {
		if name, is := strings.CutPrefix(entry.Name(), "="); is {
			key, problem := url.QueryUnescape(name)
			err = errors.Join(err, problem)
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, err
}

func stat(folder, key string) (object, error) {
	path := filepath.Join(folder, "="+url.QueryEscape(key))
	info, err := os.Stat(path)
	if err != nil {
		return object{}, err
	}
	tag, err := etag(path)
	return object{key, info.ModTime().UTC().Format(s3Time), tag, info.Size(), "STANDARD"}, err
}

func etag(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := md5.New()
	_, err = io.Copy(sum, file)
	return `"` + hex.EncodeToString(sum.Sum(nil)) + `"`, err
}
