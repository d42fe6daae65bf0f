//go:build tools

// Package tools names what `go mod tidy` must keep; it is never compiled.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
