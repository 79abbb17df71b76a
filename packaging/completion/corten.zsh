#compdef corten
# zsh completion for corten
_corten() {
    local -a candidates
    candidates=(${(f)"$(corten __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#candidates} )); then compadd -a candidates; else _files; fi
}
# Loaded by compinit this file is the function itself, which is called right now.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _corten "$@"
else
    compdef _corten corten
fi
