package html

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets/page.css assets/page.js assets/icon.svg
var assetFiles embed.FS

// assetRoute is where assets are, below the function's root.
const assetRoute = "assets/"

// An asset is a file that pages load, served under a name with a hash of its content. So
// a browser keeps it as long as it likes, and never mixes two releases.
type asset struct {
	name, mediaType string
	content         []byte
}

// assets are the files, by the names under which they are served; named has these names
// by the names of the files.
var assets, named = load("page.css", "page.js", "icon.svg")

func load(files ...string) (byName map[string]asset, named map[string]string) {
	byName, named = map[string]asset{}, map[string]string{}
	for _, file := range files {
		content, err := assetFiles.ReadFile("assets/" + file)
		if err != nil {
			panic(err) // the build has it
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(file)
		name := strings.TrimSuffix(file, ext) + "-" + hex.EncodeToString(sum[:8]) + ext
		byName[name] = asset{name: name, mediaType: mediaTypes[ext], content: content}
		named[file] = name
	}
	return byName, named
}

var mediaTypes = map[string]string{
	".css": mime.FormatMediaType("text/css", map[string]string{"charset": "utf-8"}),
	".js":  mime.FormatMediaType("text/javascript", map[string]string{"charset": "utf-8"}),
	".svg": "image/svg+xml",
}

// serveAsset answers the path of an asset below [assetRoute]. It reports whether there is
// one of this name: assets of another release are unknown.
func serveAsset(w http.ResponseWriter, r *http.Request, name string) bool {
	a, ok := assets[name]
	if !ok {
		return false
	}
	secure(w.Header())
	w.Header().Set("Content-Type", a.mediaType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.content))
	return true
}
