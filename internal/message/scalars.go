package message

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const maxID = 128

var (
	requestID    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}$`)
	resourceID   = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	resourceName = regexp.MustCompile(`^projects/[a-z0-9][a-z0-9.:-]{0,127}/locations/[a-z0-9][a-z0-9-]{0,62}/persistentResources/([a-z]([a-z0-9-]{0,61}[a-z0-9])?)$`)
	protoSeconds = regexp.MustCompile(`^-?[0-9]{1,12}(\.[0-9]{1,9})?s$`)
)

func control(c rune) bool { return unicode.IsControl(c) }

// wholeNumber reads an integer as protojson does: 3, "3", 3.0 and 3e0. It moves
// the point and never rounds: 0.99999999999999999999 is not 1.
func wholeNumber(n *node, bits int) (int64, bool) {
	if n.kind != number && n.kind != text || len(n.text) > 32 || !jsonNumber.MatchString(n.text) {
		return 0, false
	}
	mantissa, exponent := n.text, 0
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(mantissa[i+1:]); err != nil {
			return 0, false
		}
		mantissa = mantissa[:i]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits, negative := strings.CutPrefix(whole+fraction, "-")
	digits, exponent = strings.TrimLeft(digits, "0"), exponent-len(fraction)
	bare := strings.TrimRight(digits, "0")
	switch places := len(digits) + exponent; {
	case digits == "":
		return 0, true
	case places < len(bare) || places > 19:
		return 0, false
	default:
		digits = bare + strings.Repeat("0", places-len(bare))
	}
	if negative {
		digits = "-" + digits
	}
	i, err := strconv.ParseInt(digits, 10, bits)
	if err != nil {
		return 0, false
	}
	return i, true
}

// seconds reads a duration in the JSON form of protobuf, such as "3600s".
func seconds(s string) (time.Duration, bool) {
	if !protoSeconds.MatchString(s) {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// mendSeconds says how to write what was meant as a duration.
func fixSeconds(n *node) string {
	const form = "Write seconds as text with an s: %q."
	if (n.kind == number || n.kind == text) && jsonNumber.MatchString(n.text) && !strings.ContainsAny(n.text, "eE-") && len(n.text) < 12 {
		return fmt.Sprintf(form, n.text+"s")
	}
	days, ok := strings.CutSuffix(n.text, "d")
	if d, err := strconv.ParseUint(days, 10, 16); ok && err == nil {
		return fmt.Sprintf(form, strconv.FormatUint(d*24*60*60, 10)+"s")
	}
	if d, err := time.ParseDuration(n.text); err == nil && n.kind == text {
		return fmt.Sprintf(form, strconv.FormatFloat(d.Seconds(), 'f', -1, 64)+"s")
	}
	return `Write seconds as text with an s, for example "3600s".`
}

// resourceOf is the id in a persistent resource's id or full name; ok is false
// when it is neither.
func resourceOf(s string) (id string, ok bool) {
	if m := resourceName.FindStringSubmatch(s); m != nil {
		return m[1], true
	}
	return s, resourceID.MatchString(s)
}
