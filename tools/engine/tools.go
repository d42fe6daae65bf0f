//go:build tools

// Package tools names what `go mod tidy` must keep; it is never compiled.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
