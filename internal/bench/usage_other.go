//go:build !linux

package bench

import "errors"

// usageOf knows no way to ask here; the figures are left out.
func usageOf(int) (usage, error) { return usage{}, errors.ErrUnsupported }
