"""The scripts of `aish completion`. They ask `aish completion reply` for what can stand at the cursor."""

_BASH = r"""# Completion of aish in bash: source <(aish completion bash)
_aish() {
    local word=${COMP_WORDS[COMP_CWORD]}
    local -a found
    mapfile -t found < <(
        "${1/#\~/$HOME}" completion reply bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    COMPREPLY=("${found[@]:1}")
    [[ $word == [=:] ]] && word=
    case ${found[0]-} in
    files) mapfile -t found < <(compgen -f -- "$word") ;;
    folders) mapfile -t found < <(compgen -d -- "$word") ;;
    programs) mapfile -t found < <(compgen -c -- "$word") ;;
    *) return ;;
    esac
    if [[ ${#COMPREPLY[@]} == 0 ]]; then
        compopt -o filenames
    else
        local at
        for at in "${!found[@]}"; do printf -v "found[at]" %q "${found[at]}"; done
    fi
    COMPREPLY+=("${found[@]}")
}
complete -F _aish aish
"""
_ZSH = r"""#compdef aish
# Completion of aish in zsh: source <(aish completion zsh), after compinit; or save it as _aish in a folder of
# $fpath
_aish() {
    local -a found
    local also skipped
    found=("${(@f)$("${words[1]}" completion reply zsh "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    also=${found[1]} skipped=${found[2]}
    found=("${(@)found[3,-1]}")
    (( ${#found} )) && _describe -V -t aish aish found
    [[ -n $skipped ]] && compset -p $skipped
    case $also in
    files) _files ;;
    folders) _files -/ ;;
    programs) _command_names -e ;;
    esac
}
if [[ ${funcstack[1]} == _aish ]]; then _aish "$@"; else compdef _aish aish; fi
"""
_FISH = r"""# Completion of aish in fish: aish completion fish | source
function __aish_complete
    set -l words (commandline -opc)
    set -l cursor (commandline -ct)
    set -l found ($words[1] completion reply fish $words[2..] "$cursor" 2>/dev/null)
    test (count $found) -gt 3; and printf '%s\n' $found[4..]
    switch "$found[1]"
        case files
            printf '%s\n' $found[2](__fish_complete_path "$found[3]")
        case folders
            printf '%s\n' $found[2](__fish_complete_directories "$found[3]" '')
        case programs
            complete -C "$found[3]"
    end
end
complete -c aish -e
complete -c aish -f -k -a '(__aish_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
