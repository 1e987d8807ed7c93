package estimate

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode"
)

// FamilyOf names the family of a job: jobs of a tenant whose display names differ in
// digits only, such as "train-0412", and that run the same image, of whatever tag or
// digest. It returns "" for a display name without a letter.
//
// The name is a hash, because display names and images are the user's own: nothing that
// stores it can say what they were.
func FamilyOf(tenant, displayName, image string) string {
	stem := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, displayName)
	if !strings.ContainsFunc(stem, unicode.IsLetter) {
		return ""
	}
	image, _, _ = strings.Cut(image, "@")
	if tag := strings.LastIndexByte(image, ':'); tag > strings.LastIndexByte(image, '/') {
		image = image[:tag]
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{tenant, stem, image}, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
