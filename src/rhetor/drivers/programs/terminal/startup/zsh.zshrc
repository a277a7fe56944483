# The user's own file, then marks around prompts and commands (OSC 133). Zsh itself finds the user's .zlogin,
# which is read next, in the user's folder.
ZDOTDIR=${RHETOR_ZDOTDIR:-$HOME}
[[ -r $ZDOTDIR/.zshrc ]] && . "$ZDOTDIR/.zshrc"
if [[ $ZDOTDIR == $HOME ]]; then unset ZDOTDIR; fi
unset RHETOR_ZDOTDIR RHETOR_ZSH_FOLDER
alias zsh >/dev/null 2>&1 || . @FOLDER@/zsh_function

# the mark that zsh shows for a missing newline would count as output of the command
PROMPT_EOL_MARK=''
__rhetor_precmd() {
  local code=$?
  builtin print -rn -- $'\e]133;D;'$code$'\a'
  if [[ $PS1 != *'133;A'* ]]; then PS1=$'%{\e]133;A\a%}'$PS1$'%{\e]133;B\a%}'; fi
  return $code
}
__rhetor_preexec() { builtin print -rn -- $'\e]133;C\a'; }
typeset -ga precmd_functions preexec_functions
precmd_functions=(__rhetor_precmd $precmd_functions)
preexec_functions=($preexec_functions __rhetor_preexec)
