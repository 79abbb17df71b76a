#compdef corten
# zsh completion for corten
_corten() {
    local -a candidates
    candidates=(${(f)"$(corten __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#candidates} )); then compadd -a candidates; else _files; fi
}
compdef _corten corten
